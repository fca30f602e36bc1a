from segassets_tests.dagster.platform import *
def test_x(made):
    print(made.stale())
    print(made.run().success, made.stale())
    touch(made.tar)
    made.run("shard_index")
    print('touch', made.stale())
    made.run()
    print('all again', made.stale())
    shard(made.tar, first=1, masks=2)
    made.run("shard_index")
    print('changed', made.stale())
    assert 0
