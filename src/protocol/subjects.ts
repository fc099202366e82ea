/**
 * Every subject of a namespace, each builder under its rendered form. Nothing else in the code writes a subject.
 * Subjects marked "log" are captured by the partition's log stream; the others are core NATS. Who may write what
 * follows from the subject alone, so that server permissions can enforce it.
 *
 * The forms are those of partition 0. Any other partition has its own under `troupe.main.partition.<p>`, but for those that
 * are the namespace's: events, outcomes told to clients, validation, health, `drain`.
 */
import { TroupeError } from './errors.ts'

export class Subjects {
  readonly namespace: string
  /** The one that these subjects are of, and how many the namespace has. */
  readonly partition: number
  readonly partitions: number
  readonly root: string
  /** Of what all partitions share. */
  private readonly shared: string

  constructor(namespace = 'main', partition = 0, partitions = 1) {
    // Narrower than a name: it is also part of stream and bucket names, which allow fewer characters.
    if (!/^[A-Za-z0-9_-]{1,32}$/.test(namespace)) {
      throw new TroupeError(
        'TROUPE_INVALID_OPTION',
        `namespace ${JSON.stringify(namespace)} must be 1 to 32 letters, digits, "_" or "-"`,
      )
    }
    this.namespace = namespace
    this.partition = partition
    this.partitions = partitions
    this.shared = `troupe.${namespace}`
    this.root = partition === 0 ? this.shared : `${this.shared}.partition.${partition}`
  }

  /** The same of another partition. */
  of(partition: number): Subjects {
    return partition === this.partition ? this : new Subjects(this.namespace, partition, this.partitions)
  }

  /** What follows the root in a subject of this partition. */
  within(subject: string): string {
    const rest = subject.slice(this.root.length + 1)
    // The blocks of partition 0, where there are several.
    return rest.startsWith('partition.0.') ? rest.slice('partition.0.'.length) : rest
  }

  /** The same subject of another partition. */
  moved(subject: string, partition: number): string {
    return `${this.of(partition).root}.${this.within(subject)}`
  }

  // --- the log of a partition -----------------------------------------------------------------------------------

  /** `troupe.main.submit.<type>` — log; anyone submits one task, the body is its input. */
  submit(type: string): string {
    return `${this.root}.submit.${type}`
  }

  /**
   * `troupe.main.block.<client>` — log; the SDK submits many tasks in one message. Where there are several partitions it is
   * `troupe.main.partition.0.block.<client>`: a client that knows of one alone must not place tasks.
   */
  block(client: string): string {
    const root = this.partitions > 1 ? `${this.shared}.partition.${this.partition}` : this.root
    return `${root}.block.${client}`
  }

  /** `troupe.main.signal.<id>` — log; anyone sends a durable event to a task. */
  signal(id: string): string {
    return `${this.root}.signal.${id}`
  }

  /** `troupe.main.journal.0.<node>.<incarnation>` — log; one life of one node writes here, and a supervisor its fence. */
  journal(partition: number, node: string, incarnation: string): string {
    return `${this.root}.journal.${partition}.${node}.${incarnation}`
  }

  /** `troupe.main.control.0.<scheduler>` — log; decisions of a leading scheduler. */
  control(partition: number, scheduler: string): string {
    return `${this.root}.control.${partition}.${scheduler}`
  }

  /** `troupe.main.forward.<origin>` — log; the scheduler of another partition brings what landed there and belongs here. */
  forward(origin: number | '*'): string {
    return `${this.root}.forward.${origin}`
  }

  /** What the log stream of a partition captures while its door is open, and what it keeps when the door is closed. */
  logSubjects(partition: number): { door: string[]; inner: string[] } {
    const forward = this.partitions > 1 ? [this.forward('*')] : []
    return {
      door: [`${this.root}.submit.>`, this.block('*'), `${this.root}.signal.>`, ...forward],
      inner: [`${this.root}.journal.${partition}.*.*`, `${this.root}.control.${partition}.*`],
    }
  }

  // --- requests that anyone may make ----------------------------------------------------------------------------

  /** `troupe.main.run.<type>` — request; submits and answers with the outcome. */
  run(type: string): string {
    return `${this.root}.run.${type}`
  }

  /** `troupe.main.task.<id>` — request; the task's state. */
  task(id: string): string {
    return `${this.root}.task.${id}`
  }

  /** `troupe.main.cancel.<id>` — request; cancels, answers the state. */
  cancel(id: string): string {
    return `${this.root}.cancel.${id}`
  }

  /** `troupe.main.retry.<id>` — request; makes a failed task ready again, answers the state. */
  retry(id: string): string {
    return `${this.root}.retry.${id}`
  }

  /** `troupe.main.remove.<id>` — request; forgets a dead letter. */
  remove(id: string): string {
    return `${this.root}.remove.${id}`
  }

  /** `troupe.main.history.<id>` — request; the task's entries in log order. */
  history(id: string): string {
    return `${this.root}.history.${id}`
  }

  /** `troupe.main.drain.<node>` — request; the node yields its tasks and leaves. */
  drain(node: string): string {
    return `${this.shared}.drain.${node}`
  }

  /** `troupe.main.validate.<type>` — request, answered by one node that has the type; checks an input against its schema. */
  validate(type: string): string {
    return `${this.shared}.validate.${type}`
  }

  /** `troupe.main.tasks` — request; a page of tasks by state and type. */
  get tasks(): string {
    return `${this.root}.tasks`
  }

  /** `troupe.main.snapshots` — request; a page of the live tasks with what is stored of each. */
  get snapshots(): string {
    return `${this.root}.snapshots`
  }

  /** `troupe.main.dead` — request; a page of dead letters and set-aside messages. */
  get dead(): string {
    return `${this.root}.dead`
  }

  /** `troupe.main.limits` — request; lists the limits of task types, or sets those of one. */
  get limits(): string {
    return `${this.root}.limits`
  }

  /** `troupe.main.full` — the leading scheduler says which queues take nothing more, for clients. */
  get full(): string {
    return `${this.root}.full`
  }

  /** `troupe.main.cron` — request; lists the cron schedules, or sets or removes one. */
  get cron(): string {
    return `${this.root}.cron`
  }

  /** `troupe.main.nodes` — request; the nodes with load, slots and bids. */
  get nodes(): string {
    return `${this.root}.nodes`
  }

  /** `troupe.main.stats` — request; counts by state. */
  get stats(): string {
    return `${this.root}.stats`
  }

  /** `troupe.main.health.<process>` — request; whether this process is ready, and what its roles do. */
  health(name: string): string {
    return `${this.shared}.health.${name}`
  }

  /** `troupe.main.event.<type>.<id>.<what>` — lifecycle events as they happen. */
  event(type: string, id: string, what: string): string {
    return `${this.shared}.event.${type}.${id}.${what}`
  }

  /** All lifecycle events. */
  get events(): string {
    return `${this.shared}.event.>`
  }

  // --- between the actors ---------------------------------------------------------------------------------------

  /** `troupe.main.node.<node>.<incarnation>` — a scheduler or supervisor speaks to one life of a node. */
  node(node: string, incarnation: string): string {
    return `${this.root}.node.${node}.${incarnation}`
  }

  /** `troupe.main.report.<node>.<incarnation>` — a node's bids, declined awards and running turns. */
  report(node: string, incarnation: string): string {
    return `${this.root}.report.${node}.${incarnation}`
  }

  /** `troupe.main.heartbeat.<node>.<incarnation>` — from the node's heartbeat thread. */
  heartbeat(node: string, incarnation: string): string {
    return `${this.root}.heartbeat.${node}.${incarnation}`
  }

  /** `troupe.main.probe.<node>.<incarnation>` — request; a supervisor asks a silent life of a node whether it is there. */
  probe(node: string, incarnation: string): string {
    return `${this.root}.probe.${node}.${incarnation}`
  }

  /** `troupe.main.call.<partition>` — a leading scheduler calls for bids. */
  call(partition: number): string {
    return `${this.root}.call.${partition}`
  }

  /**
   * `troupe.main.tell.<client>` — a leading scheduler tells an SDK client its outcomes. A client `<identity>=<random>` is told
   * at `troupe.main.tell.<identity>.<random>`, so that the server can keep it from listening to other identities.
   */
  tell(client: string): string {
    return `${this.shared}.tell.${client.replace('=', '.')}`
  }

  /** `troupe.main.leading.<role>` — a new leader says so, with its epoch; clients ask again, nodes bid again. */
  leading(role: 'scheduler' | 'supervisor'): string {
    return `${this.root}.leading.${role}`
  }

  /** `troupe.main.leads.<process>` — in how many partitions the scheduler of a process leads, for the others. */
  leads(name: string): string {
    return `${this.shared}.leads.${name}`
  }

  // --- streams and buckets --------------------------------------------------------------------------------------

  /** `TROUPE_main_LOG_0` — the log stream of a partition. */
  logStream(partition: number): string {
    return `TROUPE_${this.namespace}_LOG_${partition}`
  }

  /** `TROUPE_main_CHECKPOINTS_0` — the ledger checkpoints of a partition. */
  checkpointStream(partition: number): string {
    return `TROUPE_${this.namespace}_CHECKPOINTS_${partition}`
  }

  /** `troupe.main.checkpoint.0.<name>.<part>` — one part of a saved ledger. */
  checkpoint(partition: number, name: string, part: string): string {
    return `${this.root}.checkpoint.${partition}.${name}.${part}`
  }

  /** `TROUPE_main_LEASES` — the KV bucket of leases. */
  get leaseBucket(): string {
    return `TROUPE_${this.namespace}_LEASES`
  }

  /** `TROUPE_main_OBJECTS` — the object store of large values. */
  get objectBucket(): string {
    return `TROUPE_${this.namespace}_OBJECTS`
  }
}

/** The key of the lease of a partition's scheduler. */
export function schedulerLease(partition: number): string {
  return `scheduler-${partition}`
}

/** The key of the lease of a partition's supervisor. */
export function supervisorLease(partition: number): string {
  return partition === 0 ? 'supervisor' : `supervisor-${partition}`
}
