/** `doctor`: prints findings as they come; exit code 1 when one of them is a failure. */
import { parseIdentity } from '../../auth/auth-folder.ts'
import { examine } from '../../doctor/examine.ts'
import type { Finding } from '../../doctor/findings.ts'
import type { Format, Output } from '../output.ts'
import type { Invocation } from '../program.ts'
import { connectionOf, type GlobalOptions } from '../settings.ts'

export async function doctor({ options, output }: Invocation): Promise<number> {
  const globals = options as GlobalOptions & { readonly monitoring?: string; readonly as?: string }
  const { namespace, monitoring, as } = globals
  let failed = false
  for await (const finding of examine({
    ...connectionOf(globals),
    namespace,
    ...(as === undefined ? {} : { identity: parseIdentity(as) }),
    ...(monitoring === undefined ? {} : { monitoring }),
  })) {
    failed ||= finding.status === 'fail'
    print(finding, output)
  }
  return failed ? 1 : 0
}

const formats: Record<Finding['status'], Format> = { ok: 'green', warn: 'yellow', fail: 'red' }

function print(finding: Finding, output: Output): void {
  if (output.json) {
    output.value(finding)
    return
  }
  const { check, status, message, next } = finding
  output.line(`${output.styled(formats[status], status.padEnd(4))}  ${output.styled('bold', check)}: ${message}`)
  if (next !== undefined) output.line(`      ${next}`)
}
