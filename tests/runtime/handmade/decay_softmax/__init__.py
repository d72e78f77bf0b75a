from mcgen.runtime import load_package

decay_softmax = load_package(__file__)
