/**
 * The shipped docker-compose.yml in containers, on images that need no public registry: built once per run, started under
 * a project name of its own, removed with everything it made. Speaks to Docker by its command line only.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { root } from '../harness/programs.ts'

const execute = promisify(execFile)
const bytesMax = 16 * 1024 * 1024

const images = { NATS_IMAGE: 'troupe-test/nats', TROUPE_IMAGE: 'troupe-test/troupe' }

async function docker(...args: string[]): Promise<string> {
  const { stdout } = await execute('docker', args, { maxBuffer: bytesMax })
  return stdout.trim()
}

/** Throws, saying what to do, when no engine answers: these tests fail then, and are never skipped. */
async function checkEngine(): Promise<void> {
  try {
    await docker('info', '--format', '{{.ServerVersion}}')
  } catch (cause) {
    throw new Error(
      'No Docker engine answers. These tests need one: start it (on Debian: apt-get install docker.io), ' +
        'or run `bash .ci/run`, which starts its own. `npm test` needs none.',
      { cause },
    )
  }
}

/** `docker compose`, or the older `docker-compose`. */
async function composeCommand(): Promise<readonly string[]> {
  try {
    await docker('compose', 'version')
    return ['docker', 'compose']
  } catch {
    return ['docker-compose']
  }
}

export interface ComposeCluster extends AsyncDisposable {
  /** Of the first nats-server, on loopback. */
  readonly nats: string
  /** The names of the containers of a service. */
  containers(service: string): Promise<string[]>
  /** `kill -9` of a container's process; it stays down. */
  kill(container: string): Promise<void>
  start(container: string): Promise<void>
  exec(container: string, ...command: string[]): Promise<string>
  /** The last lines of all containers, for a failure's message. */
  logs(): Promise<string>
}

/** Builds the images and starts three nats-servers, two control processes and this many nodes; resolves when they are up. */
export async function startCompose(nodes: number): Promise<ComposeCluster> {
  await checkEngine()
  await execute('bash', ['deploy/test-image/build'], { cwd: root, maxBuffer: bytesMax })
  const project = `troupe${process.pid}`
  const [command, ...first] = await composeCommand()
  const env = { ...process.env, ...images, NATS_PORT: '0' }
  const compose = async (...args: string[]) => {
    const all = [...first, '--project-name', project, ...args]
    const { stdout } = await execute(command!, all, { cwd: root, env, maxBuffer: bytesMax })
    return stdout.trim()
  }
  const stop = async () => {
    await compose('down', '--volumes', '--timeout', '3')
  }
  try {
    await compose('up', '--detach', '--no-build', '--scale', `node=${nodes}`)
    return {
      nats: `nats://${await compose('port', 'nats-1', '4222')}`,
      containers: async (service) => {
        const filters = [`label=com.docker.compose.project=${project}`, `label=com.docker.compose.service=${service}`]
        const names = await docker('ps', ...filters.flatMap((filter) => ['--filter', filter]), '--format', '{{.Names}}')
        return names.split('\n').sort()
      },
      kill: async (container) => void (await docker('kill', container)),
      start: async (container) => void (await docker('start', container)),
      exec: (container, ...args) => docker('exec', container, ...args),
      logs: () => compose('logs', '--tail', '20', '--no-color'),
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
