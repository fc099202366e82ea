/** What a role needs and a user lacks: judged from the table of permissions and what the server says of the user. */
import type { NatsBus } from '../../nats/connection.ts'
import { type UserBounds, userBounds } from '../../nats/user-info.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { covers, grantOf, type Identity } from '../../protocol/permissions.ts'
import type { Subjects } from '../../protocol/subjects.ts'

export interface Lack {
  readonly way: 'publish' | 'subscribe'
  readonly pattern: string
}

/** Without these some things do not work, but nothing waits in silence. */
const dispensable = /^(\$SRV|\$SYS|\$O|\$JS\.API\.(INFO|.*\.OBJ_)|_INBOX)/

/** Returns what this identity needs and these bounds do not allow. */
export function lacks(subjects: Subjects, identity: Identity, bounds: UserBounds): Lack[] {
  return lacking(subjects, identity, bounds, (pattern) => !dispensable.test(pattern))
}

/** Whether a scheduler with these bounds may remove large values: it runs without. */
export async function maySweep(bus: NatsBus, subjects: Subjects, name: string): Promise<boolean> {
  const bounds = await userBounds(bus)
  const isOfObjects = (pattern: string) => pattern.includes(`OBJ_${subjects.objectBucket}`) || pattern.startsWith('$O.')
  const identity = { name, roles: ['scheduler'] as const }
  return bounds === undefined || lacking(subjects, identity, bounds, isOfObjects).length === 0
}

function lacking(
  subjects: Subjects,
  identity: Identity,
  bounds: UserBounds,
  isMeant: (pattern: string) => boolean,
): Lack[] {
  const needed = grantOf(subjects.namespace, identity, subjects.partitions)
  const of = (way: 'publish' | 'subscribe') =>
    needed[way]
      .filter((pattern) => isMeant(pattern) && !allows(bounds[way], pattern))
      .map((pattern) => ({ way, pattern }))
  return [...of('publish'), ...of('subscribe')]
}

function allows(bounds: UserBounds['publish'], pattern: string): boolean {
  const { allow = [], deny = [] } = bounds ?? {}
  if (deny.some((denied) => covers(denied, pattern))) return false
  // "subject queue" allows members of that group.
  return allow.length === 0 || allow.some((allowed) => covers(allowed.split(' ')[0]!, pattern))
}

/** Throws TROUPE_NOT_ALLOWED, naming all that is missing, unless the user may do what this identity does. */
export async function checkPermissions(bus: NatsBus, subjects: Subjects, identity: Identity): Promise<void> {
  const bounds = await userBounds(bus)
  const missing = bounds === undefined ? [] : lacks(subjects, identity, bounds)
  if (missing.length === 0) return
  throw new TroupeError('TROUPE_NOT_ALLOWED', `this user may not ${describe(missing)}`, {
    details: { roles: identity.roles, name: identity.name, missing },
  })
}

const shownMax = 6

/** `publish to a, b; subscribe to c` */
export function describe(missing: readonly Lack[]): string {
  return (['publish', 'subscribe'] as const)
    .map((way) => ({ way, patterns: missing.filter((lack) => lack.way === way).map(({ pattern }) => pattern) }))
    .filter(({ patterns }) => patterns.length > 0)
    .map(({ way, patterns }) => {
      const rest = patterns.length > shownMax ? ` and ${patterns.length - shownMax} more` : ''
      return `${way} to ${patterns.slice(0, shownMax).join(', ')}${rest}`
    })
    .join('; ')
}
