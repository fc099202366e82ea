/**
 * The command line from arguments to exit code: 0 done, 1 the task or command failed, 2 wrong usage, 3 no server or no
 * answer. What the commands are is `program.ts`; what they do is loaded when it is needed.
 */
import { CommanderError } from 'commander'
import { adviceFor, TroupeError } from '../../protocol/errors.ts'
import { Output } from './output.ts'
import { buildProgram, type Outcome } from './program.ts'

export const exitCode = { done: 0, failed: 1, usage: 2, noServer: 3 } as const

const usageCodes = new Set<string>([
  'TROUPE_USAGE',
  'TROUPE_INVALID_NAME',
  'TROUPE_INVALID_OPTION',
  'TROUPE_INVALID_DURATION',
  'TROUPE_INVALID_INSTANT',
  'TROUPE_INVALID_PRIORITY',
  'TROUPE_INVALID_EVENT',
  'TROUPE_INVALID_SCHEDULE',
  'TROUPE_UNKNOWN_OPTION',
  'TROUPE_WAITS_FOR_ITSELF',
  'TROUPE_NO_TASKS',
  'TROUPE_RESERVED_ID',
  'TROUPE_UNREADABLE',
])
const noServerCodes = new Set<string>([
  'TROUPE_NO_SERVER',
  'TROUPE_NO_ANSWER',
  'TROUPE_UNKNOWN_TYPE',
  'TROUPE_NO_JETSTREAM',
  'TROUPE_CLOSED',
])

/** Runs one command and resolves with its exit code. Never rejects. */
export async function main(argv: readonly string[], version: string): Promise<number> {
  const output = new Output(argv.includes('--json'))
  const outcome: Outcome = { exitCode: exitCode.done }
  try {
    await buildProgram(version, output, outcome).parseAsync([...argv], { from: 'user' })
    return outcome.exitCode
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCode.done : exitCode.usage
    return report(error, output)
  }
}

function report(error: unknown, output: Output): number {
  if (!(error instanceof TroupeError)) {
    output.problem(error instanceof Error ? (error.stack ?? error.message) : String(error))
    output.note('This is a defect of Troupe; please report it with the message.')
    return exitCode.failed
  }
  const { code, message, details } = error
  if (output.json) output.value({ error: { code, message, ...(details === undefined ? {} : { details }) } })
  output.problem(`${message} (${code})`)
  for (let cause = error.cause; cause instanceof TroupeError; cause = cause.cause) {
    // What other libraries throw has no code of its own; it stands in the message already.
    if (cause.code !== 'TROUPE_INTERNAL' && !message.includes(cause.message))
      output.note(`caused by: ${cause.message} (${cause.code})`)
  }
  const next = adviceFor(code)
  if (next !== undefined) output.note(next)
  return exitCodeOf(code)
}

/** Returns the exit code for an error's code. */
export function exitCodeOf(code: string): number {
  if (usageCodes.has(code)) return exitCode.usage
  return noServerCodes.has(code) ? exitCode.noServer : exitCode.failed
}
