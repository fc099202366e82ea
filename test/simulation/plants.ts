import type { WrapLog } from './cluster.ts'
import type { Random } from './random.ts'

/** A bug put into the product from outside, for as long as one simulation runs. */
export interface Plant {
  readonly name: string
  /** What is wrong, in a sentence. */
  readonly bug: string
  /** Puts something between the product and the log. */
  readonly wrapLog?: (random: Random) => WrapLog
  /** Changes exported objects of the product; returns how to change them back. */
  readonly patch?: () => () => void
  /** Faults under which it shows; default: drawn. */
  readonly kinds?: readonly string[]
}
