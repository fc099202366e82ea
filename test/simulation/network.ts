/**
 * The network between simulated processes and the one simulated NATS server: delays, losses, connections that break and
 * come back, and what core NATS does with a message: fan-out, queue groups, no-responders. Streams are elsewhere; they
 * use `send` and `receive`.
 */
import type { BusMessage, Headers } from '../../src/nats/bus.ts'
import type { Random } from './random.ts'
import type { SimProcess, World } from './world.ts'

/** What the network does to messages; drawn per seed, calmed in the liveness phase. Shares are 0 to 1. */
export interface NetworkFaults {
  delayMinMs: number
  delayMaxMs: number
  /** Core messages alone: JetStream's own are lost by `lossOfAcks` and broken connections. */
  loss: number
  duplication: number
  /** Core messages that take another way and may overtake or fall behind. */
  reordering: number
}

interface Interest {
  readonly link: Link
  readonly pattern: readonly string[]
  readonly queue: string | undefined
  readonly handler: (message: BusMessage) => void
}

type Way = 'out' | 'in'

/** The connection of one life of one process. */
export class Link {
  readonly process: SimProcess
  readonly life: number
  /** What the process itself believes. */
  connected = true
  /** Blocked ways lose nothing by themselves; what is held is lost when the connection breaks, else it arrives late. */
  readonly blocked: Record<Way, boolean> = { out: false, in: false }
  readonly held: Record<Way, (() => void)[]> = { out: [], in: [] }
  readonly outbox: (() => void)[] = []
  readonly listeners = new Set<(state: 'connected' | 'disconnected') => void>()
  /** Called when the connection breaks; what waited for an answer has none. */
  readonly onBroken = new Set<() => void>()
  readonly latestMs: Record<Way, number> = { out: 0, in: 0 }
  epoch = 0

  constructor(process: SimProcess) {
    this.process = process
    this.life = process.life
  }

  get isOpen(): boolean {
    return this.process.life === this.life && this.process.alive
  }
}

const outboxMax = 1_000

export class Network {
  readonly world: World
  readonly random: Random
  readonly faults: NetworkFaults
  readonly links = new Set<Link>()
  readonly fired = new Map<string, number>()
  private readonly interests = new Set<Interest>()
  private readonly cache = new Map<string, readonly Interest[]>()
  private readonly inboxes = new Map<string, { link: Link; handler: (message: BusMessage) => void }>()

  constructor(world: World, random: Random, faults: NetworkFaults) {
    this.world = world
    this.random = random
    this.faults = faults
  }

  count(fault: string): void {
    this.fired.set(fault, (this.fired.get(fault) ?? 0) + 1)
  }

  connect(process: SimProcess): Link {
    const link = new Link(process)
    this.links.add(link)
    process.onCrash.push(() => this.remove(link))
    return link
  }

  // --- connections ----------------------------------------------------------------------------------------------

  /** Nothing passes these ways until `heal`. */
  block(link: Link, ways: readonly Way[]): void {
    for (const way of ways) link.blocked[way] = true
    this.world.note('block', `${link.process.name} ${ways.join('+')}`)
  }

  heal(link: Link): void {
    this.world.note('heal', link.process.name)
    for (const way of ['out', 'in'] as const) {
      if (!link.blocked[way]) continue
      link.blocked[way] = false
      for (const deliver of link.held[way].splice(0)) deliver()
    }
  }

  /** The connection ends: what was under way is lost, and the process is told. It comes back when nothing is blocked. */
  breakOff(link: Link): void {
    if (!link.isOpen || !link.connected) return
    this.count('disconnect')
    link.epoch++
    link.held.out.length = 0
    link.held.in.length = 0
    this.cache.clear()
    link.connected = false
    this.world.schedule(link.process, 0, 'disconnected', () => {
      for (const broken of [...link.onBroken]) broken()
      for (const listener of [...link.listeners]) listener('disconnected')
    })
    this.reconnectLater(link)
  }

  private reconnectLater(link: Link): void {
    this.world.schedule(link.process, this.random.integer(50, 2_000), 'reconnect', () => {
      if (link.blocked.out || link.blocked.in) return this.reconnectLater(link)
      link.connected = true
      this.cache.clear()
      for (const send of link.outbox.splice(0)) send()
      for (const listener of [...link.listeners]) listener('connected')
    })
  }

  private remove(link: Link): void {
    this.links.delete(link)
    for (const interest of [...this.interests]) if (interest.link === link) this.interests.delete(interest)
    for (const [subject, inbox] of [...this.inboxes]) if (inbox.link === link) this.inboxes.delete(subject)
    this.cache.clear()
  }

  // --- one message one way --------------------------------------------------------------------------------------

  private delay(link: Link, way: Way, inOrder: boolean): number {
    const { delayMinMs, delayMaxMs } = this.faults
    const atMs = this.world.nowMs + this.random.skewed(delayMinMs, delayMaxMs)
    if (!inOrder) return atMs - this.world.nowMs
    link.latestMs[way] = Math.max(link.latestMs[way], atMs)
    return link.latestMs[way] - this.world.nowMs
  }

  /** To the server, in the order of the connection. Waits while disconnected, and while it is wanted. False: not sent. */
  send(link: Link, label: string, isWanted: () => boolean, arrive: () => void): boolean {
    if (!link.process.mayOutput(link.life)) return true
    return this.put(link, label, isWanted, arrive)
  }

  private put(link: Link, label: string, isWanted: () => boolean, arrive: () => void): boolean {
    if (!link.connected) {
      if (link.outbox.length >= outboxMax) return false
      link.outbox.push(() => isWanted() && this.put(link, label, isWanted, arrive))
      return true
    }
    const { epoch } = link
    this.world.schedule(undefined, this.delay(link, 'out', true), label, () => {
      if (epoch !== link.epoch) return
      if (link.blocked.out) link.held.out.push(arrive)
      else arrive()
    })
    return true
  }

  /** From the server to the process, in order. */
  receive(link: Link, label: string, handle: () => void, inOrder = true): void {
    if (!link.isOpen || !link.connected) return
    const { epoch } = link
    const arrive = (delayMs: number): void => {
      // What was held back for a process that has died since is nobody's.
      if (!link.isOpen) return
      this.world.schedule(link.process, delayMs, label, () => {
        if (epoch !== link.epoch || !link.isOpen) return
        if (link.blocked.in) link.held.in.push(() => arrive(0))
        else handle()
      })
    }
    arrive(this.delay(link, 'in', inOrder))
  }

  // --- core NATS ------------------------------------------------------------------------------------------------

  subscribe(
    link: Link,
    pattern: string,
    handler: (message: BusMessage) => void,
    queue: string | undefined,
  ): () => void {
    const interest: Interest = { link, pattern: pattern.split('.'), queue, handler }
    this.interests.add(interest)
    this.cache.clear()
    return () => {
      this.interests.delete(interest)
      this.cache.clear()
    }
  }

  /** A subject of one connection for the answers to one question. */
  openInbox(link: Link, subject: string, handler: (message: BusMessage) => void): () => void {
    this.inboxes.set(subject, { link, handler })
    return () => this.inboxes.delete(subject)
  }

  /** Who is reached is decided when the message is sent; it saves a step for each. */
  publish(
    link: Link,
    subject: string,
    data: Uint8Array,
    reply: string | undefined,
    headers: Headers | undefined,
  ): boolean {
    if (!link.process.mayOutput(link.life)) return true
    return this.route(link, messageOf(subject, data, reply, headers))
  }

  private route(link: Link, message: BusMessage): boolean {
    if (!link.connected) {
      if (link.outbox.length >= outboxMax) return false
      link.outbox.push(() => this.route(link, message))
      return true
    }
    if (link.blocked.out) {
      link.held.out.push(() => this.route(link, message))
      return true
    }
    const { faults, random } = this
    if (random.chance(faults.loss)) {
      this.count('loss')
      return true
    }
    this.fanOut(link, message)
    if (random.chance(faults.duplication)) {
      this.count('duplication')
      this.fanOut(link, message)
    }
    return true
  }

  private fanOut(sender: Link, message: BusMessage): void {
    const inbox = this.inboxes.get(message.subject)
    if (inbox !== undefined) return this.deliver(inbox.link, message, inbox.handler)
    const interests = this.interestIn(message.subject)
    if (interests.length === 0 && message.reply !== undefined) {
      const back = this.inboxes.get(message.reply)
      const nobody = messageOf(message.reply, new Uint8Array(0), undefined, { Status: '503' })
      if (back?.link === sender) this.deliver(sender, nobody, back.handler)
      return
    }
    const groups = new Map<string, Interest[]>()
    for (const interest of interests) {
      if (interest.queue === undefined) this.deliver(interest.link, message, interest.handler, interest)
      else groups.set(interest.queue, [...(groups.get(interest.queue) ?? []), interest])
    }
    for (const group of groups.values()) {
      const chosen = this.random.pick(group)
      this.deliver(chosen.link, message, chosen.handler, chosen)
    }
  }

  private deliver(link: Link, message: BusMessage, handler: (message: BusMessage) => void, interest?: Interest): void {
    const outOfOrder = this.random.chance(this.faults.reordering)
    if (outOfOrder) this.count('reordering')
    const handle = () => {
      if (interest === undefined || this.interests.has(interest)) handler(message)
    }
    this.receive(link, message.subject, handle, !outOfOrder)
  }

  private interestIn(subject: string): readonly Interest[] {
    let found = this.cache.get(subject)
    if (found === undefined) {
      const tokens = subject.split('.')
      found = [...this.interests].filter(({ link, pattern }) => link.connected && matches(pattern, tokens))
      if (this.cache.size > 10_000) this.cache.clear()
      this.cache.set(subject, found)
    }
    return found
  }
}

export function matches(pattern: readonly string[], tokens: readonly string[]): boolean {
  for (let at = 0; at < pattern.length; at++) {
    const wanted = pattern[at]
    if (wanted === '>') return tokens.length > at
    if (at >= tokens.length || (wanted !== '*' && wanted !== tokens[at])) return false
  }
  return pattern.length === tokens.length
}

function messageOf(
  subject: string,
  data: Uint8Array,
  reply: string | undefined,
  headers: Headers | undefined,
): BusMessage {
  const lowered = headers && new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
  return { subject, data, reply, headers: lowered }
}
