'use strict';
module.exports = { code: require('@babel/core').transformSync('const a = b?.c', { presets: ['@babel/preset-env', '@babel/preset-react'].map(p => require.resolve(p)), configFile: false }).code.length > 20 };
