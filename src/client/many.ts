/**
 * Many tasks of one type: submitted in blocks, and for `map` their results gathered in order. One handle or one callback
 * per task and no promise, because there may be a million of them.
 */
import type { Submission } from '../protocol/entries.ts'
import { TroupeError } from '../protocol/errors.ts'
import { systemTaskId } from '../protocol/names.ts'
import type { SubmissionOptions } from '../protocol/options.ts'
import type { Keyring } from './encryption.ts'
import type { Ending } from './ending.ts'
import { failureOf } from './failures.ts'
import type { Outcomes } from './outcomes.ts'
import type { Router } from './router.ts'
import { type ManyOptions, resolveOptions } from './submit-options.ts'

type Prepare = (input: unknown, options: SubmissionOptions | undefined) => Submission | Promise<Submission>

/** `index` counts the inputs, `place` the submissions of one block; `id` undefined: the system gives it. */
type OnAccepted = (index: number, id: string | undefined, partition: number, sequence: number, place: number) => void

/** Resolves with the number of tasks once the log has them all; on a failure, `details.accepted` says how many it has. */
export async function submitEach(
  router: Router,
  inputs: Iterable<unknown>,
  options: ManyOptions<unknown> | undefined,
  prepare: Prepare,
  onAccepted: OnAccepted,
): Promise<number> {
  const { id: idOf, ...shared } = options ?? {}
  const common = resolveOptions(shared)
  const iterator = inputs[Symbol.iterator]()
  const ids: (string | undefined)[] = []
  let count = 0
  let accepted = 0
  const next = () => {
    const item = iterator.next()
    if (item.done) return undefined
    const index = count++
    const own = idOf === undefined ? common : resolveOptions({ ...shared, id: idOf(item.value, index) })
    if (own?.id !== undefined) ids[index] = own.id
    return prepare(item.value, own)
  }
  try {
    await router.addAll(next, ({ partition, sequence, count: stored, indexOf }) => {
      accepted += stored
      for (let place = 0; place < stored; place++) {
        const index = indexOf(place)
        onAccepted(index, ids[index], partition, sequence, place)
      }
    })
    return count
  } catch (error) {
    if (accepted === 0 || !(error instanceof TroupeError)) throw error
    throw new TroupeError(error.code, `${error.message} (${accepted} tasks were accepted)`, {
      details: { ...(error.details as object | undefined), accepted },
      cause: error,
    })
  }
}

/** How outcomes are read. */
export interface OutcomeValues {
  readonly resultOf: (ending: Ending & { status: 'completed' }) => unknown
  readonly keyring: Keyring | undefined
}

/** The results of many tasks in the order of their inputs. */
export class Gathering {
  private readonly outcomes: Outcomes
  private readonly values: OutcomeValues
  private readonly results: unknown[] = []
  private readonly all = Promise.withResolvers<void>()
  private settled = 0
  private total = Number.POSITIVE_INFINITY

  /** `resultOf` may return a promise, for values that have to be fetched. */
  constructor(outcomes: Outcomes, values: OutcomeValues) {
    this.outcomes = outcomes
    this.values = values
    // A failure before all is submitted is not unhandled: `done` takes it up.
    this.all.promise.catch(() => {})
  }

  /** Waiting begins with acceptance, so that no outcome has to be kept for later. */
  readonly await: OnAccepted = (index, id, partition, sequence, place) => {
    const reference = systemTaskId(partition, sequence, place)
    this.outcomes.wait(id ?? reference, reference, sequence, {
      onEnding: (ending) => this.take(index, ending),
      onError: (error) => this.all.reject(error),
    })
  }

  /** Resolves with the results of `total` tasks; rejects with the first failure. */
  async done(total: number): Promise<unknown[]> {
    this.total = total
    if (this.settled < total) await this.all.promise
    return this.results
  }

  private take(index: number, ending: Ending): void {
    if (ending.status !== 'completed') {
      this.all.reject(failureOf(ending.id, ending.status, ending.error, this.values.keyring))
      return
    }
    try {
      const value = this.values.resultOf(ending)
      if (value instanceof Promise) value.then((late) => this.put(index, late), this.all.reject)
      else this.put(index, value)
    } catch (error) {
      this.all.reject(error)
    }
  }

  private put(index: number, value: unknown): void {
    this.results[index] = value
    this.settled += 1
    if (this.settled === this.total) this.all.resolve()
  }
}
