/**
 * Whether a supervisor may trust what it (does not) hear. One silent node says something about the node; many at once say
 * something about the broker, the network or the supervisor. Pure: looks at what is known, and names a reason to hold.
 */
import type { SupervisionSettings } from './settings.ts'
import type { Watched } from './watched.ts'

export type HoldCause = 'disconnected' | 'own-lag' | 'mass-silence' | 'nobody-beats'

/** A reason not to fence, since when, with the numbers it rests on. */
export interface Hold {
  readonly cause: HoldCause
  readonly sinceMs: number
  readonly silent: number
  readonly heard: number
}

/** A silence of many, which is a reason to hold from its beginning until it has been over for a while. */
export interface MassSilence extends Hold {
  readonly cause: 'mass-silence' | 'nobody-beats'
  readonly lastSeenMs: number
}

/**
 * Returns the silence of many that makes the silence of each prove nothing; undefined if there is none. `before` is what
 * the last look returned.
 *
 * A mass silence is more than `massShare` of the nodes that were heard before, and at least two of them: in a troupe of two
 * or three, one dead node is one dead node as long as another beats. Nodes that were never heard did not *fall* silent and
 * do not count. If nobody beats at all there is no evidence that the broker passes heartbeats on, however few they are.
 * A node whose fence is already asked for is accounted for. When the silence breaks, the last to be heard again must not
 * pay for being last: it counts until it has been over for `settleMs`.
 */
export function massSilence(
  nodes: Iterable<Watched>,
  before: MassSilence | undefined,
  settings: SupervisionSettings,
  nowMs: number,
): MassSilence | undefined {
  const { heard, silent, silentAtAll } = count(nodes, settings, nowMs)
  const sinceMs = before?.sinceMs ?? nowMs
  if (silent >= 2 && silent > settings.massShare * heard) {
    return { cause: 'mass-silence', silent, heard, sinceMs, lastSeenMs: nowMs }
  }
  if (silentAtAll > 0 && silent === heard) {
    return { cause: 'nobody-beats', silent: silentAtAll, heard, sinceMs, lastSeenMs: nowMs }
  }
  return before && nowMs - before.lastSeenMs < settings.settleMs ? before : undefined
}

function count(nodes: Iterable<Watched>, settings: SupervisionSettings, nowMs: number) {
  let heard = 0
  let silent = 0
  let silentAtAll = 0
  for (const watched of nodes) {
    if (watched.fenced || watched.fenceAskedAtMs !== undefined) continue
    const missed = watched.detector.silenceMs(nowMs) >= settings.missedMs
    if (missed) silentAtAll += 1
    if (!watched.heard) continue
    heard += 1
    if (missed) silent += 1
  }
  return { heard, silent, silentAtAll }
}
