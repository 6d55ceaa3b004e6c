const { Scanner } = require('@tailwindcss/oxide');
const { compile } = require('tailwindcss');
module.exports = async () => {
  const classes = new Scanner({}).scanFiles([{ content: '<p class="flex p-[3px]">', extension: 'html' }]).filter(c => /^(flex|p-)/.test(c)).sort();
  const css = (await compile('@tailwind utilities;')).build(['p-[3px]']);
  return { classes, css: css.replace(/^\/\*!.*?\*\/\n/, '') };
};
