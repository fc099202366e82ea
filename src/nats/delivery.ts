/**
 * What a push consumer says about a message in its reply subject: place in the stream, place in the delivery, time.
 * Two formats exist: `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`, and the
 * longer one that has `<domain>.<account hash>` behind ACK and may have a random token at the end.
 */
export interface Delivery {
  streamSequence: number
  consumerSequence: number
  timestampMs: number
  /** Messages of the stream still to come. */
  pending: number
}

/** Fills `delivery` from the reply subject, without allocating; returns false if it is none of a consumer. */
export function readDelivery(reply: string, delivery: Delivery): boolean {
  if (!reply.startsWith('$JS.ACK.')) return false
  let dots = 0
  for (let at = 0; at < reply.length; at++) if (reply.charCodeAt(at) === 46) dots++
  if (dots < 8) return false
  // The number of the token that holds the stream sequence.
  const wanted = dots === 8 ? 5 : 7
  let token = 0
  let at = 0
  while (token < wanted) if (reply.charCodeAt(at++) === 46) token++
  let end = reply.indexOf('.', at)
  delivery.streamSequence = integer(reply, at, end)
  at = end + 1
  end = reply.indexOf('.', at)
  delivery.consumerSequence = integer(reply, at, end)
  at = end + 1
  end = reply.indexOf('.', at)
  // Nanoseconds do not fit a number; without their last six digits they do.
  delivery.timestampMs = end - at > 6 ? integer(reply, at, end - 6) : 0
  at = end + 1
  end = reply.indexOf('.', at)
  delivery.pending = integer(reply, at, end === -1 ? reply.length : end)
  return true
}

function integer(text: string, from: number, to: number): number {
  let value = 0
  for (let at = from; at < to; at++) value = value * 10 + (text.charCodeAt(at) - 48)
  return value
}
