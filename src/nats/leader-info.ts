/** What a stream's leader says of it. */
import type { StreamInfo } from '@nats-io/jetstream'
import { TroupeError } from '../protocol/errors.ts'
import type { NatsBus } from './connection.ts'
import { api } from './jetstream-api.ts'

export type LeaderInfo = StreamInfo & { readonly ts: string }

/**
 * Returns the stream's info. A replica that knows no leader (its disk is full, or it is cut off) answers as well, with as much
 * of the log as it has: that is no answer. Throws TROUPE_NO_ANSWER then, and what `api` throws.
 */
export async function leaderInfo(bus: NatsBus, stream: string): Promise<LeaderInfo> {
  const info = await api<LeaderInfo>(bus, `STREAM.INFO.${stream}`)
  if (info.config.num_replicas > 1 && !info.cluster?.leader) {
    throw new TroupeError('TROUPE_NO_ANSWER', `the server that answered knows no leader of stream ${stream}`)
  }
  return info
}
