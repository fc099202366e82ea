/**
 * The wire of a scheduler without one: reads submissions from the log, decides by the task's type, tells the client, and
 * answers `task.<id>`. Types: `echo` completes with its input, `fail` fails, `silent` completes but is never told,
 * `clash` is refused, `hold` waits for a signal and completes with it, anything else stays ready.
 */
import type { Bus, Log, LogReading } from '../../src/nats/bus.ts'
import { packBlock, unpackSubmissionBlock } from '../../src/protocol/blocks.ts'
import type { LogMessage, Payload, Submission } from '../../src/protocol/entries.ts'
import type { Outcome, TaskAnswer, TaskStatus } from '../../src/protocol/messages.ts'
import { systemTaskId } from '../../src/protocol/names.ts'
import { unpackValue } from '../../src/protocol/payload.ts'
import type { Subjects } from '../../src/protocol/subjects.ts'

interface FakeTask {
  readonly id: string
  readonly reference: string
  readonly client: string
  readonly type: string
  status: TaskStatus
  result?: unknown
  outcome?: Outcome
}

export class FakeScheduler {
  readonly tasks = new Map<string, FakeTask>()
  readonly submissions: Submission[] = []
  readonly blocks: number[] = []
  readonly asked: string[] = []
  position = 0
  private readonly bus: Bus
  private readonly subjects: Subjects
  private readonly subscriptions: { unsubscribe(): void }[] = []
  private reading: LogReading | undefined

  constructor(bus: Bus, subjects: Subjects) {
    this.bus = bus
    this.subjects = subjects
  }

  async start(log: Log): Promise<this> {
    this.subscriptions.push(
      this.bus.subscribe(this.subjects.task('*'), (message) => {
        const id = message.subject.slice(message.subject.lastIndexOf('.') + 1)
        this.asked.push(id)
        const task = this.tasks.get(id)
        if (message.reply === undefined) return
        if (message.headers?.get('accept') === 'application/msgpack' && task?.outcome !== undefined) {
          const headers = { 'Content-Type': 'application/msgpack' }
          this.bus.publish(message.reply, packBlock([task.outcome]), { headers })
        } else this.bus.publish(message.reply, json(this.answer(id)))
      }),
    )
    await this.bus.flush()
    this.reading = await log.read({
      from: 1,
      onMessages: (messages) => {
        for (const message of messages) this.fold(message)
      },
      onGap: () => {},
    })
    return this
  }

  async stop(): Promise<void> {
    for (const subscription of this.subscriptions) subscription.unsubscribe()
    await this.reading?.stop()
  }

  /** Says that it leads, as a new scheduler does. */
  lead(): void {
    this.bus.publish(this.subjects.leading('scheduler'), json({ epoch: this.position }))
  }

  private answer(id: string): unknown {
    const task = this.tasks.get(id)
    if (task === undefined) {
      return {
        error: { code: 'TROUPE_UNKNOWN_TASK', message: `no task "${id}"`, details: { position: this.position } },
      }
    }
    const answer: TaskAnswer = {
      id,
      type: task.type,
      status: task.status,
      attempt: 1,
      turn: 1,
      priority: 4,
      submittedAt: new Date(0).toISOString(),
      ...(task.result === undefined ? {} : { result: task.result }),
      ...(task.status === 'failed' ? { error: { code: 'TROUPE_TASK_FAILED', message: 'boom' } } : {}),
    }
    return answer
  }

  private fold(message: LogMessage): void {
    this.position = message.sequence
    const [, , area, name = ''] = message.subject.split('.')
    if (area === 'block') this.onBlock(message, name)
    if (area === 'signal') this.onSignal(name, message.data)
  }

  private onBlock(message: LogMessage, client: string): void {
    const block = unpackSubmissionBlock(message.data)
    if (!block.ok) throw new Error(block.reason)
    const told: Outcome[] = []
    this.blocks.push(block.entries.length)
    for (const [index, submission] of block.entries.entries()) {
      const [type, input, options] = submission!
      const reference = systemTaskId(0, message.sequence, index)
      const task: FakeTask = { id: options?.id ?? reference, reference, client, type, status: 'ready' }
      this.submissions.push(submission!)
      this.tasks.set(task.id, task)
      const outcome = this.decide(task, input)
      if (outcome !== undefined) told.push(outcome)
    }
    if (told.length > 0) this.bus.publish(this.subjects.tell(client), packBlock(told))
  }

  private decide(task: FakeTask, input: Payload): Outcome | undefined {
    const { reference, id, type } = task
    if (type === 'echo' || type === 'silent') {
      task.status = 'completed'
      task.result = unpackValue(input as Uint8Array | null)
      const outcome: Outcome = [reference, id, 'completed', input]
      // A silent one's outcome is asked for in both ways: as msgpack if its input is an object, else as JSON.
      if (typeof task.result === 'object') task.outcome = outcome
      return type === 'echo' ? outcome : undefined
    }
    if (type === 'fail') {
      task.status = 'failed'
      return [reference, id, 'failed', { code: 'TROUPE_TASK_FAILED', message: 'boom', details: { name: 'RangeError' } }]
    }
    if (type === 'clash') return [reference, id, 'refused', { code: 'TROUPE_ID_CONFLICT', message: 'another input' }]
    return undefined
  }

  private onSignal(id: string, event: Uint8Array): void {
    const task = this.tasks.get(id)
    if (task?.type !== 'hold') return
    task.status = 'completed'
    task.result = unpackValue(event)
    this.publishEvent(task, 'completed')
    this.bus.publish(this.subjects.tell(task.client), packBlock([[task.reference, id, 'completed', event]]))
  }

  publishEvent(task: { id: string; type: string; status: TaskStatus }, what: string): void {
    const { id, type, status } = task
    this.bus.publish(
      this.subjects.event(type, id, what),
      json({ id, type, what, status, at: new Date(0).toISOString(), attempt: 1, turn: 1 }),
    )
  }
}

function json(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}
