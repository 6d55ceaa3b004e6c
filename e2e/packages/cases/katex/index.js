module.exports = async () => require('katex').renderToString('x^2', { output: 'mathml' });
