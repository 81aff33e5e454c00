class Archives:
    def __init__(self, connect): pass
    def close(self): pass
