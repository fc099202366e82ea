/**
 * Every subject of a namespace, each builder under its rendered form. Nothing else in the code writes a subject.
 * Subjects marked "log" are captured by the partition's log stream; the others are core NATS. Who may write what
 * follows from the subject alone, so that server permissions can enforce it.
 */
import { TroupeError } from './errors.ts'

export class Subjects {
  readonly namespace: string
  readonly root: string

  constructor(namespace = 'main') {
    // Narrower than a name: it is also part of stream and bucket names, which allow fewer characters.
    if (!/^[A-Za-z0-9_-]{1,32}$/.test(namespace)) {
      throw new TroupeError(
        'TROUPE_INVALID_OPTION',
        `namespace ${JSON.stringify(namespace)} must be 1 to 32 letters, digits, "_" or "-"`,
      )
    }
    this.namespace = namespace
    this.root = `troupe.${namespace}`
  }

  // --- the log of a partition -----------------------------------------------------------------------------------

  /** `troupe.main.submit.<type>` — log; anyone submits one task, the body is its input. */
  submit(type: string): string {
    return `${this.root}.submit.${type}`
  }

  /** `troupe.main.block.<client>` — log; the SDK submits many tasks in one message. */
  block(client: string): string {
    return `${this.root}.block.${client}`
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

  /** What the log stream of a partition captures while its door is open, and what it keeps when the door is closed. */
  logSubjects(partition: number): { door: string[]; inner: string[] } {
    return {
      door: [`${this.root}.submit.>`, `${this.root}.block.*`, `${this.root}.signal.>`],
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
    return `${this.root}.drain.${node}`
  }

  /** `troupe.main.validate.<type>` — request, answered by one node that has the type; checks an input against its schema. */
  validate(type: string): string {
    return `${this.root}.validate.${type}`
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
    return `${this.root}.health.${name}`
  }

  /** `troupe.main.event.<type>.<id>.<what>` — lifecycle events as they happen. */
  event(type: string, id: string, what: string): string {
    return `${this.root}.event.${type}.${id}.${what}`
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
    return `${this.root}.tell.${client.replace('=', '.')}`
  }

  /** `troupe.main.leading.<role>` — a new leader says so, with its epoch; clients ask again, nodes bid again. */
  leading(role: 'scheduler' | 'supervisor'): string {
    return `${this.root}.leading.${role}`
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
