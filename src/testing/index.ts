/** The door `troupe/testing`: durable tasks in unit tests, on virtual time, without a server. */
export {
  type ChildRun,
  expectDurable,
  type RunOptions,
  runTask,
  type TaskRun,
  type TestSignal,
} from './run-task.ts'
export type { CrashPoint } from './world.ts'
