/** What a node knows of its own load, as plain numbers: measured by the runtime, priced here. */

/** One measurement, over the time since the one before. */
export interface LoadSample {
  readonly passedMs: number
  /** Event-loop utilisation of the main thread, 0 to 1. */
  readonly loop: number
  /** How long something that falls due has to wait for the main loop, on average, ms. */
  readonly loopDelayMs: number
  /** Share of the machine's processors that was busy, whoever used them, 0 to 1. */
  readonly cpu: number
  /** Processors that this process may use: its affinity, or its control group's quota; 0.5 is half of one. */
  readonly cpus: number
  /** Of these, how many it used itself, and how many others used. */
  readonly ownCpus: number
  readonly otherCpus: number
  /** How long its threads waited for a processor per millisecond that they ran; 0: never. */
  readonly waitRatio: number
  /** Share in use of the memory that this process can have, 0 to 1: of its heap, its control group or the machine. */
  readonly memory: number
  readonly rssBytes: number
}

/** What the node does with its slots. */
export interface Occupancy {
  /** Turns that run, and awarded ones that wait for a slot. */
  readonly running: number
  readonly held: number
}

/** A machine that does nothing; what is assumed before the first measurement. */
export const idleLoad: LoadSample = {
  passedMs: 250,
  loop: 0,
  loopDelayMs: 0,
  cpu: 0,
  cpus: 1,
  ownCpus: 0,
  otherCpus: 0,
  waitRatio: 0,
  memory: 0,
  rssBytes: 0,
}
