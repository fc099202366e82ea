/**
 * People with a NATS client and the contract's page, all at once: they submit under ids that others use too, with the same
 * input or another, run, signal, cancel, ask, and write down each call with its answer. Uses nothing of Troupe.
 */
import { connect, headers, type NatsConnection } from '@nats-io/transport-node'
import { type Call, isTerminal, type Operation, type Told } from './history.ts'

export interface PeopleOptions {
  readonly servers: string
  readonly namespace: string
  readonly seed: number
  readonly count: number
}

const types = ['plain', 'plain', 'sleeper', 'flaky', 'listener']
const answerMsMax = 2_000
/** Each in its turn of the calls; a new id comes about with every sixth. */
const callsPerId = 6
const settleMsMax = 60_000
/** After a call that failed, and between two looks. */
const pauseMs = 50

export class People {
  readonly operations: Operation[] = []
  private readonly connections: readonly NatsConnection[]
  private readonly root: string
  private readonly dice: () => number
  private stopped = false
  private calls = 0

  private constructor(connections: readonly NatsConnection[], { namespace, seed }: PeopleOptions) {
    this.connections = connections
    this.root = `troupe.${namespace}`
    this.dice = diceOf(seed)
  }

  /** Each person has a connection of its own. */
  static async gather(options: PeopleOptions): Promise<People> {
    const { servers, count } = options
    const one = () => connect({ servers, maxReconnectAttempts: -1, reconnectTimeWait: 50 })
    return new People(await Promise.all(Array.from({ length: count }, one)), options)
  }

  /** They act until `stop`; resolves when every call has been answered or given up. */
  async act(): Promise<void> {
    const all = this.connections.map(async (_, who) => {
      while (!this.stopped) await this.one(who)
    })
    await Promise.all(all)
  }

  stop(): void {
    this.stopped = true
  }

  /** Asks about every task until it has ended, and once more; listeners are told what they wait for. */
  async settle(): Promise<void> {
    const untilMs = performance.now() + settleMsMax
    const taken = this.operations.filter(({ call, end }) => 'type' in call && end !== 'fail')
    const isListener = new Set(
      taken.filter(({ call }) => 'type' in call && call.type === 'listener').map(({ id }) => id),
    )
    const ids = [...new Set(taken.map(({ id }) => id))].values()
    const lane = async (who: number) => {
      for (const id of ids) {
        for (let value = 900; performance.now() < untilMs; value++) {
          const { end, told } = await this.call(who, id, { f: 'read' })
          // What nobody knows of was not stored, if nobody was told that it was: the judge sees to that.
          if (end === 'ok' && (isTerminal(told) || told.status === undefined)) break
          if (isListener.has(id)) await this.call(who, id, { f: 'signal', signalId: `s${value}`, value })
          await new Promise((done) => setTimeout(done, pauseMs))
        }
        await this.call(who, id, { f: 'read' })
      }
    }
    await Promise.all(this.connections.map((_, who) => lane(who)))
  }

  async leave(): Promise<void> {
    await Promise.all(this.connections.map((connection) => connection.close()))
  }

  private async one(who: number): Promise<void> {
    const number = Math.floor(this.calls++ / callsPerId)
    // Mostly what is new, which others work on just now.
    const id = `h${Math.max(0, number - Math.floor(this.dice() ** 3 * 20))}`
    const { end } = await this.call(who, id, this.draw(Number(id.slice(1))))
    // Without a server every call fails at once; who tried on without a break would do nothing else, for ever.
    if (end !== 'ok') await new Promise((done) => setTimeout(done, pauseMs))
  }

  private draw(number: number): Call {
    const dice = this.dice()
    // By the id, so that most who submit it mean the same.
    const type = types[number % types.length]!
    const value = this.dice() < 0.8 ? number : number + 100_000
    const delayMs = number % 7 === 3 ? 300 : 0
    if (dice < 0.4) return { f: 'submit', type, value, delayMs }
    if (dice < 0.5) return { f: 'run', type, value, delayMs }
    if (dice < 0.65) {
      const signal = Math.floor(this.dice() * 3)
      return { f: 'signal', signalId: `s${signal}`, value: signal }
    }
    return this.dice() < 0.05 ? { f: 'cancel' } : { f: 'read' }
  }

  private async call(who: number, id: string, call: Call): Promise<Operation> {
    const fromMs = now()
    const { end, told } = await this.ask(who, id, call)
    const operation = { who: `p${who}`, id, call, fromMs, toMs: now(), end, told }
    this.operations.push(operation)
    return operation
  }

  private async ask(who: number, id: string, call: Call): Promise<Pick<Operation, 'end' | 'told'>> {
    const given = headers()
    let subject = `${call.f === 'read' ? 'task' : call.f}.${id}`
    let body: unknown = ''
    if ('type' in call) {
      subject = `${call.f}.${call.type}`
      body = { value: call.value }
      given.append('Troupe-Id', id)
      if (call.delayMs > 0) given.append('Troupe-Delay', `${call.delayMs}ms`)
    } else if (call.f === 'signal') {
      body = { type: 'go', value: call.value }
      given.append('Troupe-Id', call.signalId)
    }
    try {
      const data = typeof body === 'string' ? body : JSON.stringify(body)
      const options = { timeout: answerMsMax, headers: given }
      const answer = await this.connections[who]!.request(`${this.root}.${subject}`, data, options)
      return answered(call, answer.json())
    } catch (error) {
      // Nobody was there to take it. Everything else may have been taken.
      const isNobody = /no ?responders/i.test(error instanceof Error ? `${error.name} ${error.message}` : '')
      return { end: isNobody ? 'fail' : 'info', told: {} }
    }
  }
}

interface Answer {
  readonly seq?: number
  readonly status?: string
  readonly turn?: number
  readonly attempt?: number
  readonly result?: unknown
  readonly error?: { readonly code: string | number }
}

function answered(call: Call, answer: Answer): Pick<Operation, 'end' | 'told'> {
  const { seq, status, turn, attempt, result, error } = answer
  // JetStream's own errors have numbers; what it says of a write may not be all there is to it.
  if (call.f === 'submit' || call.f === 'signal') {
    return typeof seq === 'number' && seq > 0 && error === undefined
      ? { end: 'ok', told: { sequence: seq } }
      : { end: 'info', told: {} }
  }
  const code = error === undefined ? undefined : String(error.code)
  if (status === undefined && code !== 'TROUPE_UNKNOWN_TASK' && code !== 'TROUPE_ID_CONFLICT') {
    return { end: 'info', told: code === undefined ? {} : { error: code } }
  }
  const told: Told = {
    ...(status !== undefined && { status }),
    ...(turn !== undefined && { turn }),
    ...(attempt !== undefined && { attempt }),
    ...(result !== undefined && { result }),
    ...(code !== undefined && { error: code }),
  }
  return { end: 'ok', told }
}

/** Of the clock that the tasks use as well. */
function now(): number {
  return performance.timeOrigin + performance.now()
}

/** Numbers from 0 to 1, the same for the same seed. */
function diceOf(seed: number): () => number {
  let state = seed >>> 0 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}
