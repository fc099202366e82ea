/** The door of the package `troupe`: everything that a program imports to define and submit tasks. */
export { adviceFor, type ErrorCode, type ErrorRecord, hasCode, TroupeError } from '../protocol/errors.ts'
export type { GroupOptions, GroupStrategy } from '../protocol/groups.ts'
export type { LimitsAnswer } from '../protocol/limit-messages.ts'
export type {
  DeadAnswer,
  HistoryEntry,
  LifecycleEvent,
  NegotiationAnswer,
  NodeAnswer,
  PlacementAnswer,
  ScheduleAnswer,
  StatsAnswer,
  TaskAnswer,
  TaskStatus,
  TasksAnswer,
  TasksRequest,
} from '../protocol/messages.ts'
export type { BreakerLimit, Duration, GangOption, LabelWishes, RestartType, TypeLimits } from '../protocol/options.ts'
export type { MissedRule, OverlapRule } from '../protocol/schedule.ts'
export type { BidAnswer, BidHook, BidQuestion } from './bid-hook.ts'
export { type ConnectOptions, connect } from './connect.ts'
export type {
  AnyTaskEvent,
  ChildHandle,
  ChildOptions,
  MapOptions,
  StepContext,
  StepOptions,
  TaskContext,
  TaskEvent,
} from './context.ts'
export type { Cron, CronOptions } from './cron.ts'
export type { EncryptionOptions } from './encryption.ts'
export { TaskCancelled, TaskExpired, TaskFailed } from './failures.ts'
export type { ResultOptions, SignalOptions, TaskHandle } from './handle.ts'
export type { LiveTask } from './live-tasks.ts'
export type { FlowTask, GangTask, ManyOptions, SubmitOptions } from './submit-options.ts'
export {
  type AnyTaskDefinition,
  type EventsOf,
  type InputOf,
  isTaskDefinition,
  type OutputOf,
  type TaskDefinition,
  type TaskFunction,
  task,
} from './task.ts'
export { fromTask, signalTask, submitTask, type TaskActorLogic } from './task-actors.ts'
export type { FunctionTaskOptions, Isolation, LogicTaskOptions, Migrate, SnapshotOrigin } from './task-options.ts'
export type { Troupe } from './troupe.ts'
