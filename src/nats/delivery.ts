/**
 * What a push consumer says about a message in its reply subject: place in the stream, place in the delivery, time.
 * Two formats exist: `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`, and the
 * longer one that has `<domain>.<account hash>` behind ACK and may have a random token at the end.
 */
export interface Delivery {
  /** What the reply subjects of one consumer have in common; start with one that none has, like `-`. */
  prefix: string
  streamSequence: number
  consumerSequence: number
  timestampMs: number
  /** Messages of the stream still to come. */
  pending: number
}

/** Fills `delivery` from the reply subject; returns false if it is none of a consumer. */
export function readDelivery(reply: string, delivery: Delivery): boolean {
  if (!reply.startsWith(delivery.prefix)) {
    const prefix = prefixOf(reply)
    if (prefix === undefined) return false
    delivery.prefix = prefix
  }
  let at = delivery.prefix.length
  let end = reply.indexOf('.', at)
  delivery.streamSequence = integer(reply, at, end)
  at = end + 1
  end = reply.indexOf('.', at)
  delivery.consumerSequence = integer(reply, at, end)
  at = end + 1
  end = reply.indexOf('.', at)
  // Nanoseconds do not fit a number; without their last six digits they do.
  delivery.timestampMs = integer(reply, at, end - 6)
  at = end + 1
  end = reply.indexOf('.', at)
  delivery.pending = integer(reply, at, end === -1 ? reply.length : end)
  return true
}

/** Everything before the stream sequence. */
function prefixOf(reply: string): string | undefined {
  if (!reply.startsWith('$JS.ACK.')) return undefined
  const tokens = reply.split('.')
  if (tokens.length < 9) return undefined
  return `${tokens.slice(0, tokens.length === 9 ? 5 : 7).join('.')}.`
}

function integer(text: string, from: number, to: number): number {
  let value = 0
  for (let at = from; at < to; at++) value = value * 10 + (text.charCodeAt(at) - 48)
  return value
}
