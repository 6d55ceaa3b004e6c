const postcss = require('postcss');
const blue = { postcssPlugin: 'blue', Declaration(d) { if (d.prop === 'color' && d.value === 'red') d.value = 'blue'; } };
module.exports = async () => (await postcss([require('autoprefixer')({ overrideBrowserslist: ['safari 13', 'firefox 60'] }), blue]).process('.a{user-select:none;color:red}', { from: undefined })).css;
