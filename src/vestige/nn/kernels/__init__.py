"""The element-wise part of one time step, fused: float32, on the CPU, compiled by Numba at first use.

Every array is C-contiguous, and a kernel works on the first ``rows`` of a batch:

=========  =============================  ======================================================
pre        (rows, k, 4 hidden)            pre-activations, f i o g in each lane
gates      (rows, k, 4 hidden)            f i o g; a backward kernel overwrites them with the
                                          gradients of ``pre``
sig_pre    (rows, k, hidden)              attention before its sigmoid
sig        (rows, k, hidden)              attention before its softmax; overwritten likewise
old, new   (rows, k, hidden)              cells before and after the step
operand    (rows, >= hidden + inputs)     next step's operand, whose first columns receive h and x
x, out     (rows, steps, inputs, hidden)  inputs and outputs of all steps, of which this one is t
d_h        (rows, >= hidden)              gradient of h from the step above; that of the output at t,
                                          d_out (rows, steps, hidden), is added to it
d_cell     (rows, k, hidden)              gradient of the cells, carried from step to step
scratch    (2 k + 2, hidden)              rows of the caller's, so that a kernel never allocates
=========  =============================  ======================================================

Rows are walked in several short loops rather than one long one: LLVM vectorises a loop only while it has
few pairs of pointers to check for overlap, and a row of every array fits the first-level cache.
"""
