"""What dfoattack itself costs: `python -m benchmarks.micro` prints a table and writes `benchmarks/results/micro.md`.

overhead       the solver's own time per evaluated point, beside NOMAD, COBYQA and CMA-ES
doors          the evaluator, ask and tell, beside the bare function
kernels        compiled kernels beside a matrix product
compile_time   import, first solve with an empty and with a filled cache of compiled code
attack_cost    an attack beside the one gradient and the one batched forward pass it consists of
storage_cost   what the run file adds per block
"""
