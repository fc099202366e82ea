/** The times and shares by which a supervisor judges, in one place, with what a larger or smaller value costs. */
import { defaultPhi, type PhiOptions } from './phi.ts'

export interface SupervisionSettings {
  readonly phi: PhiOptions
  /** Silence from which a node is suspect and is probed. Smaller finds a dead process sooner and probes more. */
  readonly suspectMs: number
  /** Least time between two probes, and between the two answers "nobody listens" that prove a process gone. */
  readonly probeGapMs: number
  /** How long a probe waits for its answer. */
  readonly probeTimeoutMs: number
  /** Silence from which a node counts towards a mass silence: one missed beat. Below `suspectMs`, so that the guard is first. */
  readonly missedMs: number
  /** Share of the nodes heard so far that may miss a beat at once (and never fewer than two) before fencing is held. */
  readonly massShare: number
  /** How long a mass silence holds back the fence of a node whose connection is proven gone: time to reconnect. */
  readonly goneHoldMs: number
  /** How long it holds back the fence of a node that is merely silent: a broker's election, 4 to 9 s, and more. */
  readonly silentHoldMs: number
  /** How long a mass silence must be over before it no longer holds anything: two beats and a little. */
  readonly settleMs: number
  /** Age of the main loop's tick from which a beating node is slow, stuck, and fenced if it holds tasks. */
  readonly slowMs: number
  readonly stuckMs: number
  readonly stuckFenceMs: number
  /** Own lag from which the supervisor distrusts itself: it holds all fencing for `lagHoldMs`, but not for ever. */
  readonly ownLagMs: number
  readonly lagHoldMs: number
  readonly lagHoldMsMax: number
  /** After the supervisor's own reconnection every node has this long to be heard again. */
  readonly reconnectGraceMs: number
  /** A node that has just appeared in the ledger has this long on top until its first beat. */
  readonly joinGraceMs: number
  /** A heartbeat of an incarnation that the ledger does not know is told so after this long: its `joined` may be on the way. */
  readonly strangerMs: number
  /** A fence that has not taken effect is asked for again after this long. */
  readonly fenceAgainMs: number
}

export const defaultSupervision: SupervisionSettings = {
  phi: defaultPhi,
  suspectMs: 450,
  probeGapMs: 120,
  probeTimeoutMs: 300,
  missedMs: 400,
  massShare: 0.3,
  goneHoldMs: 1_500,
  silentHoldMs: 15_000,
  settleMs: 600,
  slowMs: 1_000,
  stuckMs: 10_000,
  stuckFenceMs: 30_000,
  ownLagMs: 250,
  lagHoldMs: 300,
  lagHoldMsMax: 3_000,
  reconnectGraceMs: 3_000,
  joinGraceMs: 1_000,
  strangerMs: 1_000,
  fenceAgainMs: 5_000,
}

/** Incarnations remembered that are not live; the oldest is forgotten first. */
export const strangersMax = 1_000
/** How long one of them is remembered after it was last heard. */
export const strangerKeepMs = 60_000
