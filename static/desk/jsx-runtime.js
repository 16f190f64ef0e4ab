// xyflow's UMD file asks for jsxRuntime, which React 18's UMD files lack.
window.jsxRuntime = { Fragment: React.Fragment, jsx: make, jsxs: make };

function make(type, props, key) {
  return React.createElement(type, key === undefined ? props : { ...props, key });
}
