const QRCode = require('qrcode');
const jsQR = require('jsqr');
const { PNG } = require('pngjs');
module.exports = async () => {
  const { data, width, height } = PNG.sync.read(await QRCode.toBuffer('https://hearth.example/é'));
  return { text: jsQR(new Uint8ClampedArray(data), width, height).data, size: QRCode.create('https://hearth.example/é').modules.size };
};
