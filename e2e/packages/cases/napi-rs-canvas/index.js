const { createCanvas } = require('@napi-rs/canvas');
const { PNG } = require('pngjs');
module.exports = async () => {
  const canvas = createCanvas(4, 4), g = canvas.getContext('2d');
  g.fillStyle = 'white';
  g.fillRect(0, 0, 4, 4);
  g.fillStyle = '#f00';
  g.fillRect(1, 1, 2, 2);
  const { width, height, data } = PNG.sync.read(await canvas.encode('png'));
  const at = (x, y) => [...data.subarray(4 * (y * width + x), 4 * (y * width + x) + 4)];
  return { size: [width, height], inside: at(2, 2), outside: at(0, 0) };
};
