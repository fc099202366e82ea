/** A small file system in memory for the store of one server, so that a disk can be full. Needs leave to mount. */
import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const ballastBytes = 1024 * 1024

export class SmallDisk {
  readonly folder: string
  readonly server: string

  private readonly bytesMax: number

  private constructor(folder: string, server: string, bytesMax: number) {
    this.folder = folder
    this.server = server
    this.bytesMax = bytesMax
  }

  /** Undefined where this process may not mount. */
  static mount(folder: string, server: string, mebibytes: number): SmallDisk | undefined {
    mkdirSync(folder, { recursive: true })
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', folder], { stdio: 'ignore' })
      return new SmallDisk(folder, server, mebibytes * ballastBytes)
    } catch {
      return undefined
    }
  }

  /** Takes all the room there is, never more than it was made with; returns how many bytes that was. */
  fill(): number {
    const file = openSync(join(this.folder, 'ballast'), 'a')
    const bytes = Buffer.alloc(ballastBytes)
    let taken = 0
    try {
      while (taken < this.bytesMax) taken += writeSync(file, bytes)
      return taken
    } catch {
      return taken
    } finally {
      closeSync(file)
    }
  }

  clear(): void {
    rmSync(join(this.folder, 'ballast'), { force: true })
  }

  unmount(): void {
    execFileSync('umount', ['-l', this.folder], { stdio: 'ignore' })
  }
}
