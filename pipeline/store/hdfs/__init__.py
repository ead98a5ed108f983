"""HDFS as a store, by its own protocol (`native`) and by HTTP (`web`), whichever answers.

Also what a Hadoop configuration says, and what Java's errors mean.
"""
