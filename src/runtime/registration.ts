/**
 * The roles of a process as NATS micro-services, so that `nats micro ls`, `info` and `stats`, and everything else that asks
 * on `$SRV`, find them. Each has one endpoint, `health.<process>`, which says whether it is ready. The protocol is NATS's
 * ADR-32, spoken here because it is three answers; the library for it is tied to an older client.
 */
import type { Bus, BusMessage, Subscription } from '../nats/bus.ts'
import type { Subjects } from '../protocol/subjects.ts'

/** One role of a process. */
export interface Service {
  readonly role: string
  readonly description: string
  /** What does not change while it runs: host, labels, slots. */
  readonly metadata: Readonly<Record<string, string>>
  /** How it is now. */
  readonly facts: () => Readonly<Record<string, unknown>>
}

export interface RegistrationOptions {
  readonly bus: Bus
  readonly subjects: Subjects
  /** The process. */
  readonly name: string
  readonly version: string
  readonly services: readonly Service[]
  /** Why the process is not ready, if it is not. */
  readonly complaint: () => string | undefined
}

const text = new TextEncoder()
const type = (what: string) => `io.nats.micro.v1.${what}_response`

export class Registration {
  private readonly options: RegistrationOptions
  private readonly startedAt = new Date().toISOString()
  private readonly subscriptions: Subscription[]
  private asked = 0
  private tookNs = 0

  /** Answers from now on, until `stop`. */
  constructor(options: RegistrationOptions) {
    this.options = options
    const { services, subjects, name } = options
    this.subscriptions = [
      ...services.flatMap((service) => this.answer(service)),
      this.on(subjects.health(name), () => this.health()),
    ]
  }

  stop(): void {
    for (const subscription of this.subscriptions) subscription.unsubscribe()
  }

  private answer(service: Service): Subscription[] {
    const { name: id } = this.options
    const name = `troupe-${service.role}`
    const answers: readonly (readonly [verb: string, answer: () => object])[] = [
      ['PING', () => this.identity('ping', service)],
      ['INFO', () => this.info(service)],
      ['STATS', () => this.stats(service)],
    ]
    return answers.flatMap(([verb, answer]) => {
      const subjects = [`$SRV.${verb}`, `$SRV.${verb}.${name}`, `$SRV.${verb}.${name}.${id}`]
      return subjects.map((subject) => this.on(subject, answer))
    })
  }

  private on(subject: string, answer: () => object): Subscription {
    const { bus } = this.options
    return bus.subscribe(subject, ({ reply }: BusMessage) => {
      if (reply !== undefined) bus.publish(reply, text.encode(JSON.stringify(answer())))
    })
  }

  private identity(what: string, { role, metadata }: Service): object {
    const { name: id, version, subjects } = this.options
    const { namespace } = subjects
    return { type: type(what), name: `troupe-${role}`, id, version, metadata: { namespace, ...metadata } }
  }

  private info(service: Service): object {
    const endpoints = [{ ...this.endpoint(), metadata: {} }]
    return { ...this.identity('info', service), description: service.description, endpoints }
  }

  private stats(service: Service): object {
    const { asked, tookNs } = this
    const counts = { num_requests: asked, num_errors: 0, last_error: '', processing_time: tookNs }
    const average = { average_processing_time: asked === 0 ? 0 : Math.round(tookNs / asked) }
    const endpoint = { ...this.endpoint(), ...counts, ...average, data: { ...this.readiness(), ...service.facts() } }
    return { ...this.identity('stats', service), started: this.startedAt, endpoints: [endpoint] }
  }

  private endpoint(): object {
    // Each process answers for itself: there is no group of which one would answer.
    return { name: 'health', subject: this.options.subjects.health(this.options.name), queue_group: '' }
  }

  private readiness(): object {
    const complaint = this.options.complaint()
    return complaint === undefined ? { ready: true } : { ready: false, reason: complaint }
  }

  private health(): object {
    const startedNs = process.hrtime.bigint()
    const { name, services } = this.options
    const roles = Object.fromEntries(services.map(({ role, facts }) => [role, facts()]))
    const answer = { name, ...this.readiness(), roles }
    this.asked++
    this.tookNs += Number(process.hrtime.bigint() - startedNs)
    return answer
  }
}
