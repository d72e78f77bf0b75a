from mcgen.runtime import load_package

fresh_sums = load_package(__file__)
