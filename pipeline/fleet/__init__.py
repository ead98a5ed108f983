"""Workers, and the loop that drives them: the driver carries out what the scheduler decides, on a pool of workers.

A pool is this process (`local_pool`), actors of Ray on this machine or a cluster (`ray_pool`), or simulated (`simulated_pool`,
for tests). Also here: what Ray says and how it fails, and on which machine data lies.
"""
