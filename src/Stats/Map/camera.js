// Which part of the world is seen: the place in the middle, and pixels a metre. North is up.

const [farthest, closest] = [0.0005, 60]

export class Camera {
  constructor() {
    Object.assign(this, { x: 0, z: 0, scale: 1, width: 1, height: 1 })
  }

  toScreenX(x) {
    return (x - this.x) * this.scale + this.width / 2
  }

  toScreenY(z) {
    return (this.z - z) * this.scale + this.height / 2
  }

  toWorld(screenX, screenY) {
    return { x: (screenX - this.width / 2) / this.scale + this.x, z: this.z - (screenY - this.height / 2) / this.scale }
  }

  pan(pixelsX, pixelsY) {
    this.x -= pixelsX / this.scale
    this.z += pixelsY / this.scale
  }

  // Zooms so that the place under the pointer stays there.
  zoom(factor, screenX = this.width / 2, screenY = this.height / 2) {
    const before = this.toWorld(screenX, screenY)
    this.scale = Math.min(closest, Math.max(farthest, this.scale * factor))
    const after = this.toWorld(screenX, screenY)
    this.x += before.x - after.x
    this.z += before.z - after.z
  }

  // Shows a rectangle, beside what lies over the edges of the picture (pixels).
  fit({ x1, z1, x2, z2 }, { left, right, top, bottom }) {
    const [width, height] = [Math.max(40, this.width - left - right), Math.max(40, this.height - top - bottom)]
    this.scale = Math.min(8, Math.max(farthest, Math.min(width / Math.max(32, x2 - x1), height / Math.max(32, z2 - z1))))
    this.x = (x1 + x2) / 2 + (right - left) / 2 / this.scale
    this.z = (z1 + z2) / 2 + (top - bottom) / 2 / this.scale
  }

  get hash() {
    return `#${this.x.toFixed(1)},${this.z.toFixed(1)},${Number(this.scale.toPrecision(4))}`
  }

  // Goes to a place such as #-120,48,2; false when the text is none.
  goTo(hash) {
    const numbers = hash.replace(/^#/, '').split(',').map(Number)
    if (hash.length < 2 || numbers.length < 2 || numbers.length > 3 || !numbers.every(Number.isFinite)) return false
    ;[this.x, this.z] = numbers
    if (numbers[2] > 0) this.scale = Math.min(closest, Math.max(farthest, numbers[2]))
    return true
  }
}
