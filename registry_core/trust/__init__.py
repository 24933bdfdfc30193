"""Who may say what: keys, envelopes and the four signatures. No I/O but in `keys`.

keys     key files and one-key signatures (P-256, Ed25519)
dsse     the envelope that moves, policies and bundles are signed in
move     signed moves: promoter and approvers
policy   signed policies: owners
note     signed checkpoints: the authority (C2SP signed-note)
oms      signed versions: the publisher (OpenSSF Model Signing)
"""
