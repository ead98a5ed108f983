"""Workers, and the loop that drives them: the driver carries out what the scheduler decides, on a pool of workers. A pool is
this process (`local_pool`) or actors of Ray (`ray_pool`, on this machine or a cluster). Also here: what Ray says and how
it fails, and on which machine data lies.
"""
