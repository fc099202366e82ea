/** The JSON body of a request to a leading scheduler. */
import type { BusMessage } from '../../nats/bus.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { parseJson } from '../../protocol/json.ts'

/** The body as an object, whose fields are still to be checked; an empty one without a body. */
export function bodyOf<Request>(message: BusMessage): Partial<Request> {
  const request = message.data.length === 0 ? {} : parseJson(message.data)
  if (typeof request === 'object' && request !== null && !Array.isArray(request)) return request as Partial<Request>
  throw new TroupeError('TROUPE_UNREADABLE', 'the body of this request must be a JSON object')
}
