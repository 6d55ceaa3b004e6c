const { transform, browserslistToTargets } = require('lightningcss');
module.exports = async () => transform({ filename: 'a.css', code: Buffer.from('.a { color: #ff0000; .b { user-select: none } }'), minify: true, targets: { safari: 13 << 16 } }).code.toString();
