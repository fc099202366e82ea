/** Asks nodes what tasks cost there, with the inputs by which they tell; an input that is not at hand is read from the log. */
import type { Logger } from 'pino'
import type { TaskRecord } from '../../actors/ledger/task-record.ts'
import type { SchedulerEffect } from '../../actors/scheduler/effects.ts'
import type { Bus } from '../../nats/bus.ts'
import { packBlock, payloadBytes } from '../../protocol/blocks.ts'
import type { Payload } from '../../protocol/entries.ts'
import { limits } from '../../protocol/limits.ts'
import type { AskedTask } from '../../protocol/quotes.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import type { LogValues } from './log-values.ts'

export interface QuoteCallerOptions {
  readonly bus: Bus
  readonly subjects: Subjects
  readonly values: LogValues
  readonly logger: Logger
}

type Call = Extract<SchedulerEffect, { do: 'quote' }>

export class QuoteCaller {
  private readonly options: QuoteCallerOptions

  constructor(options: QuoteCallerOptions) {
    this.options = options
  }

  async send({ members, tasks }: Call): Promise<void> {
    const { bus, subjects, logger } = this.options
    try {
      const inputs = await this.inputsOf(tasks)
      for (const asked of portions(tasks, inputs)) {
        const message = packBlock(['quote', asked])
        for (const { node, incarnation } of members) bus.publish(subjects.node(node, incarnation), message)
      }
    } catch (error) {
      logger.warn({ err: error, tasks: tasks.length }, 'inputs could not be read; nodes are asked about them again')
    }
  }

  private async inputsOf(tasks: readonly TaskRecord[]): Promise<ReadonlyMap<TaskRecord, Payload>> {
    const { values } = this.options
    const inputs = new Map(tasks.flatMap((task) => (task.atHand === undefined ? [] : [[task, task.atHand] as const])))
    const missing = tasks.filter((task) => !inputs.has(task))
    if (missing.length === 0) return inputs
    for (const [task, found] of await values.load(missing)) if (found !== undefined) inputs.set(task, found.input)
    return inputs
  }
}

/** The tasks in messages that are not too large. What has no input any more is left out; its award will say so. */
function portions(tasks: readonly TaskRecord[], inputs: ReadonlyMap<TaskRecord, Payload>): AskedTask[][] {
  const all: AskedTask[][] = []
  let room = 0
  for (const task of tasks) {
    const input = inputs.get(task)
    if (input === undefined) continue
    const bytes = payloadBytes(input) + 512
    if (bytes > room) {
      all.push([])
      room = limits.blockBytesMax
    }
    room -= bytes
    all.at(-1)!.push([task.id, task.type, task.key ?? null, input])
  }
  return all
}
