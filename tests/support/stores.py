"""Files of a store, whole."""


def write(store, path, data=b"x"):
    with store.create_exclusive(path) as stream:
        stream.write(data)


def read(store, path):
    with store.open_read(path) as stream:
        return stream.read()
