class P: text=""
def prompt_policy(): return P()
