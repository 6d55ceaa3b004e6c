const { PNG } = require('pngjs');
const RED = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
module.exports = async () => {
  const { width, height, data } = PNG.sync.read(Buffer.from(RED, 'base64'));
  const made = new PNG({ width: 1, height: 1 });
  made.data.set([0, 255, 0, 128]);
  return { known: [width, height, [...data]], again: [...PNG.sync.read(PNG.sync.write(made)).data] };
};
