/** Gives a decoder so many changed inputs, and measures what they cost. */
import { Random } from '../simulation/random.ts'
import type { Decoder } from './decoders.ts'
import { mutated } from './mutation.ts'

export interface Fuzzed {
  readonly inputs: number
  /** Inputs that took longer than the limit each time that they were tried. */
  readonly stalls: readonly { readonly ms: number; readonly input: string }[]
}

/** Longest time for one input, ms. */
export const stallMs = 50
/** On a busy machine anything may seem slow once. */
const tries = 5

/** Throws with the input, in hex, that made the decoder throw. */
export function fuzz(decoder: Decoder, inputs: number, seed: number): Fuzzed {
  const { name, sources, decode } = decoder
  const random = new Random(seed, name)
  const stalls: { ms: number; input: string }[] = []
  for (let input = 0; input < inputs; input++) {
    const bytes = mutated(random.pick(sources), random)
    const ms = timed(() => decode(bytes), name, bytes)
    if (ms <= stallMs) continue
    const best = Math.min(ms, ...Array.from({ length: tries }, () => timed(() => decode(bytes), name, bytes)))
    if (best > stallMs) stalls.push({ ms: best, input: Buffer.from(bytes).toString('hex') })
  }
  // What is valid is still read after all of that.
  for (const source of sources) decode(source)
  return { inputs, stalls }
}

function timed(run: () => void, name: string, bytes: Uint8Array): number {
  const startedAtMs = performance.now()
  try {
    run()
  } catch (error) {
    throw new Error(`${name}: ${Buffer.from(bytes).toString('hex')}`, { cause: error })
  }
  return performance.now() - startedAtMs
}
