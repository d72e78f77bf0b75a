"""Generated Triton kernels at run time: launching them, their launch options, compiling them for a named GPU."""
