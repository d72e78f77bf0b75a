from mcgen.runtime import load_package

running_sum = load_package(__file__)
