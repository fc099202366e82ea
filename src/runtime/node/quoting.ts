/**
 * Answers what tasks cost on this node, by the `bid` hooks of their types. The hooks are the user's: each is called for one
 * task at a time, within a deadline for all that is asked at once, and what goes wrong in it is a refusal with its reason.
 */
import type { BidAnswer, BidHook, BidQuestion } from '../../client/bid-hook.ts'
import type { Keyring } from '../../client/encryption.ts'
import type { AnyTaskDefinition } from '../../client/task.ts'
import { durationMs } from '../../protocol/options.ts'
import { unpackValue } from '../../protocol/payload.ts'
import type { AskedTask, Quote } from '../../protocol/quotes.ts'
import { fetchPacked } from '../tasks/large-values.ts'
import { opened } from '../tasks/seals.ts'

/** For all the tasks of one question together; the scheduler waits not much longer. */
const answerMs = 200
const reasonCharsMax = 200
const late: BidAnswer = { refuse: `its bid hook took more than ${answerMs} ms` }

export interface QuotingOptions {
  readonly definitions: readonly AnyTaskDefinition[]
  readonly keyring: Keyring | undefined
  readonly node: () => BidQuestion['node']
  readonly loadObject: (name: string) => Promise<Uint8Array>
}

export class Quoting {
  private readonly options: QuotingOptions
  private readonly hooks: ReadonlyMap<string, BidHook>

  constructor(options: QuotingOptions) {
    this.options = options
    const rows = options.definitions.flatMap(({ type, bid }) => (bid === undefined ? [] : [[type, bid] as const]))
    this.hooks = new Map(rows)
  }

  /** Resolves with a quote for each task. Never rejects. */
  async quotes(tasks: readonly AskedTask[]): Promise<Quote[]> {
    const deadline = performance.now() + answerMs
    return Promise.all(tasks.map((task) => this.quote(task, deadline)))
  }

  private async quote([id, type, key, packed]: AskedTask, deadline: number): Promise<Quote> {
    const hook = this.hooks.get(type)
    if (hook === undefined) return [id, 0, '']
    let timer: NodeJS.Timeout | undefined
    try {
      const overdue = new Promise<BidAnswer>((resolve) => {
        timer = setTimeout(() => resolve(late), Math.max(0, deadline - performance.now()))
      })
      const answer = await Promise.race([this.ask(hook, [id, type, key, packed], deadline), overdue])
      return quoteOf(id, performance.now() > deadline ? late : answer)
    } catch (error) {
      return quoteOf(id, { refuse: `its bid hook failed${this.wordsOf(error)}` })
    } finally {
      clearTimeout(timer)
    }
  }

  private async ask(hook: BidHook, [id, type, key, packed]: AskedTask, deadline: number): Promise<BidAnswer> {
    const { keyring, node, loadObject } = this.options
    const objects = { loadObject, storeObject: () => Promise.reject(new Error('a quote stores nothing')) }
    const value = opened(keyring, await fetchPacked(objects, packed), `input:${id}`, `type:${type}`)
    // Others that were asked before it may have used up the time.
    if (performance.now() > deadline) return late
    return hook({ id, key: key ?? undefined, input: unpackValue(value), node: node() })
  }

  /** Where values are encrypted, an error's words may hold some of them. */
  private wordsOf(error: unknown): string {
    if (this.options.keyring !== undefined) return ''
    return `: ${(error instanceof Error ? error.message : String(error)).slice(0, reasonCharsMax)}`
  }
}

/** Throws TROUPE_INVALID_DURATION for an answer that is none. */
function quoteOf(id: string, answer: BidAnswer): Quote {
  if (typeof answer === 'object' && answer !== null && typeof answer.refuse === 'string') {
    return [id, null, answer.refuse.slice(0, reasonCharsMax)]
  }
  return [id, durationMs('what its bid hook answered', answer), '']
}
