/** What the server says that this connection's user may do. */
import { hasCode } from '../protocol/errors.ts'
import type { NatsBus } from './connection.ts'

/** Undefined: no bounds. */
export interface UserBounds {
  readonly publish?: Bounds | undefined
  readonly subscribe?: Bounds | undefined
}

interface Bounds {
  readonly allow?: readonly string[]
  readonly deny?: readonly string[]
}

/** Returns the permissions of this user; undefined if the server does not say. Throws TROUPE_CLOSED. */
export async function userBounds(bus: NatsBus, timeoutMs = 2_000): Promise<UserBounds | undefined> {
  try {
    const answer = await bus.request('$SYS.REQ.USER.INFO', new Uint8Array(0), { timeoutMs })
    const { data } = JSON.parse(Buffer.from(answer.data).toString()) as { data?: { permissions?: UserBounds } }
    return data && { publish: data.permissions?.publish, subscribe: data.permissions?.subscribe }
  } catch (error) {
    if (hasCode(error, 'TROUPE_CLOSED')) throw error
    return undefined
  }
}
