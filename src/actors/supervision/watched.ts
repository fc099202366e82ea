/**
 * What a supervisor knows of each incarnation that the ledger calls live, and of those that beat without being live.
 * Bookkeeping only: what follows from it is decided in `verdict.ts` and `sight.ts`.
 */
import { PhiDetector } from './phi.ts'
import { type SupervisionSettings, strangerKeepMs, strangersMax } from './settings.ts'

/** A live incarnation as the ledger has it. `tasks` is how many turns it owns. */
export interface Member {
  readonly node: string
  readonly incarnation: string
  readonly tasks: number
}

/** `slow` and `stuck` beat, but their main loop does not turn; `suspect` is silent. */
export type HealthStatus = 'ready' | 'slow' | 'stuck' | 'suspect'

export type ProbeAnswer = 'alive' | 'nobody' | 'silence'

export interface Watched {
  readonly node: string
  readonly incarnation: string
  tasks: number
  readonly detector: PhiDetector
  heard: boolean
  tick: number
  tickAgeMs: number
  status: HealthStatus
  /** When a probe was last asked for, and whether its answer is still out. */
  probedAtMs: number
  probing: boolean
  /** Answers "nobody listens" in a row, and when the first of them came. */
  nobody: number
  nobodySinceMs: number
  nobodyLastMs: number
  /** When its fence was asked for; undefined: not, or spared since. */
  fenceAskedAtMs: number | undefined
  /** The fence is in the log; only the ledger has not been seen to follow yet. */
  fenced: boolean
}

export interface Stranger {
  readonly node: string
  readonly incarnation: string
  sinceMs: number
  heardAtMs: number
  toldAtMs: number
}

export interface HeartbeatSeen {
  readonly node: string
  readonly incarnation: string
  readonly tick: number
  readonly tickAgeMs: number
  readonly nowMs: number
}

/** All incarnations under watch, by incarnation. Mutable: it is changed four times a second for each node. */
export class Watch {
  readonly settings: SupervisionSettings
  readonly nodes = new Map<string, Watched>()
  readonly strangers = new Map<string, Stranger>()

  constructor(settings: SupervisionSettings) {
    this.settings = settings
  }

  /** Follows the ledger: starts watching who is new, forgets who is no longer live. */
  members(members: readonly Member[], nowMs: number): void {
    const live = new Set<string>()
    for (const member of members) {
      live.add(member.incarnation)
      const known = this.nodes.get(member.incarnation)
      if (known) known.tasks = member.tasks
      else this.nodes.set(member.incarnation, newlyWatched(member, this.settings, nowMs))
      this.strangers.delete(member.incarnation)
    }
    for (const [incarnation, watched] of this.nodes) {
      if (live.has(incarnation)) continue
      this.nodes.delete(incarnation)
      // It is known to have ended: should it beat again, it need not be watched first.
      this.#remember(watched.node, incarnation, nowMs - this.settings.strangerMs, nowMs)
    }
  }

  /** Returns the watched node, or undefined when the incarnation is not live. */
  heartbeat(seen: HeartbeatSeen): Watched | undefined {
    const watched = this.nodes.get(seen.incarnation)
    if (!watched) {
      const stranger = this.strangers.get(seen.incarnation)
      if (stranger) stranger.heardAtMs = seen.nowMs
      else this.#remember(seen.node, seen.incarnation, seen.nowMs, seen.nowMs)
      return undefined
    }
    watched.detector.beat(seen.nowMs)
    watched.heard = true
    watched.nobody = 0
    watched.tick = seen.tick
    watched.tickAgeMs = seen.tickAgeMs
    return watched
  }

  probed(incarnation: string, answer: ProbeAnswer, nowMs: number): Watched | undefined {
    const watched = this.nodes.get(incarnation)
    if (!watched) return undefined
    watched.probing = false
    if (answer === 'nobody') {
      if (watched.nobody === 0) watched.nobodySinceMs = nowMs
      watched.nobody += 1
      watched.nobodyLastMs = nowMs
      return watched
    }
    watched.nobody = 0
    if (answer === 'alive') watched.detector.restart(nowMs)
    return watched
  }

  /** The supervisor itself did not look for this long. */
  excuse(pausedMs: number, nowMs: number): void {
    for (const watched of this.nodes.values()) watched.detector.excuse(pausedMs, nowMs)
  }

  /** The connection was gone: nothing that was learned about present silence holds. */
  restart(nowMs: number): void {
    for (const watched of this.nodes.values()) {
      watched.detector.restart(nowMs + this.settings.reconnectGraceMs)
      watched.nobody = 0
      watched.probing = false
    }
  }

  /** Incarnations to be told that they are fenced: beating now, not live, and for long enough; each once a second. */
  strangersToTell(nowMs: number): Stranger[] {
    const told: Stranger[] = []
    for (const [incarnation, stranger] of this.strangers) {
      if (nowMs - stranger.heardAtMs > strangerKeepMs) this.strangers.delete(incarnation)
      const beats = stranger.heardAtMs > stranger.toldAtMs && nowMs - stranger.toldAtMs >= 1_000
      if (!beats || nowMs - stranger.sinceMs < this.settings.strangerMs) continue
      stranger.toldAtMs = nowMs
      told.push(stranger)
    }
    return told
  }

  #remember(node: string, incarnation: string, sinceMs: number, nowMs: number): void {
    if (this.strangers.size >= strangersMax) {
      const oldest = this.strangers.keys().next()
      if (!oldest.done) this.strangers.delete(oldest.value)
    }
    // "Told" now: only a beat that comes after this moment is a reason to speak.
    const toldAtMs = sinceMs < nowMs ? nowMs : Number.NEGATIVE_INFINITY
    this.strangers.set(incarnation, { node, incarnation, sinceMs, heardAtMs: nowMs, toldAtMs })
  }
}

function newlyWatched(member: Member, settings: SupervisionSettings, nowMs: number): Watched {
  const detector = new PhiDetector(settings.phi, nowMs)
  detector.restart(nowMs + settings.joinGraceMs)
  return {
    ...member,
    detector,
    heard: false,
    tick: 0,
    tickAgeMs: 0,
    status: 'ready',
    probedAtMs: Number.NEGATIVE_INFINITY,
    probing: false,
    nobody: 0,
    nobodySinceMs: 0,
    nobodyLastMs: 0,
    fenceAskedAtMs: undefined,
    fenced: false,
  }
}
