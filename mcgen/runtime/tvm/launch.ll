; What a compiled kernel expects of a runtime: a parallel launch and scratch memory. Here on the OpenMP threads that torch uses
; (two thread pools that spin against each other cost more than the kernels), and on malloc.
%Env = type { ptr, i32 }       ; synchronisation handle (unused), number of tasks

@mcgen_threads = global i32 1
declare void @GOMP_parallel(ptr, ptr, i32, i32)
declare i32 @omp_get_thread_num()
declare i32 @omp_get_num_threads()
declare ptr @aligned_alloc(i64, i64)
declare void @free(ptr)

; Runs body(task, env, data) on every thread of a team; the last failure's code, or 0.
define i32 @mcgen_launch(ptr %body, ptr %data, i32 %tasks) {
  %team = alloca [3 x ptr]
  store ptr %body, ptr %team
  %at1 = getelementptr ptr, ptr %team, i64 1
  store ptr %data, ptr %at1
  %at2 = getelementptr ptr, ptr %team, i64 2
  store ptr null, ptr %at2
  %n = load i32, ptr @mcgen_threads
  call void @GOMP_parallel(ptr @mcgen_worker, ptr %team, i32 %n, i32 0)
  %failed = load i64, ptr %at2
  %code = trunc i64 %failed to i32
  ret i32 %code
}
define void @mcgen_worker(ptr %team) {
  %env = alloca %Env
  %body = load ptr, ptr %team
  %at1 = getelementptr ptr, ptr %team, i64 1
  %data = load ptr, ptr %at1
  %me = call i32 @omp_get_thread_num()
  %all = call i32 @omp_get_num_threads()
  store ptr null, ptr %env
  %size = getelementptr %Env, ptr %env, i64 0, i32 1
  store i32 %all, ptr %size
  %code = call i32 %body(i32 %me, ptr %env, ptr %data)
  %bad = icmp ne i32 %code, 0
  br i1 %bad, label %fail, label %done
fail:
  %at2 = getelementptr ptr, ptr %team, i64 2
  %wide = sext i32 %code to i64
  store i64 %wide, ptr %at2
  br label %done
done:
  ret void
}
define ptr @mcgen_alloc(i32 %type, i32 %id, i64 %bytes, i32 %code, i32 %bits) {
  %more = add i64 %bytes, 127
  %whole = and i64 %more, -64
  %p = call ptr @aligned_alloc(i64 64, i64 %whole)
  ret ptr %p
}
define i32 @mcgen_free(i32 %type, i32 %id, ptr %p) {
  call void @free(ptr %p)
  ret i32 0
}
