/** Measures the load of this process four times a second, for about a thousandth of a processor. */
import type { LoadSample } from '../../actors/balancer/load.ts'
import { LoopDelay } from './loop-delay.ts'
import { memoryShare } from './memory.ts'
import { ProcessorMeter } from './processors.ts'

const everyMs = 250

export class LoadSampler {
  readonly #processors = new ProcessorMeter()
  readonly #loopDelay = new LoopDelay()
  readonly #timer: NodeJS.Timeout
  #loop = performance.eventLoopUtilization()
  #atMs = performance.now()

  /** Starts at once; `onSample` gets each measurement. Does not keep a process alive. */
  constructor(onSample: (sample: LoadSample) => void) {
    this.#timer = setInterval(() => onSample(this.sample()), everyMs).unref()
  }

  /** Returns what was measured since the call before. */
  sample(): LoadSample {
    const loop = performance.eventLoopUtilization()
    const { utilization } = performance.eventLoopUtilization(loop, this.#loop)
    this.#loop = loop
    const before = this.#atMs
    this.#atMs = performance.now()
    return {
      passedMs: this.#atMs - before,
      loop: utilization,
      loopDelayMs: this.#loopDelay.take(),
      ...this.#processors.measure(),
      memory: memoryShare(),
      rssBytes: process.memoryUsage.rss(),
    }
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#loopDelay.stop()
  }
}
