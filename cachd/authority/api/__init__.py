"""The operations of the control API that only an authority has; the others are in `cachd.api`.

fleet     what nodes report
garbage   pushes that announce themselves, and gc
backup    how far the backup is
webhooks  who is told of events
"""
