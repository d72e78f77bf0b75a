"""The autotuner: which schedule of an op is fastest on a device, without changing what it computes.

    mcgen tune OP                 # a study on this machine's CPU, and a record that the op then uses
    mcgen tune report OP          # what the study found, as a picture and a page

A space says which schedules there are and which of them are feasible; a study proposes them; a trial measures one against the default in
a process of its own; the best pass the gates before one becomes a record. Modules import each other relatively: an installed mcgen
carries this package under another name.
"""
